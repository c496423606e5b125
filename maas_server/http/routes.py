"""All routes of the server, and the application that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maas_server.engine import TenantUsage
from maas_server.front import Front
from maas_server.http.app import Application
from maas_server.http.body import BodyLimits
from maas_server.http.caller import Callers
from maas_server.http.calls import Calls
from maas_server.http.documentation import documentation_routes
from maas_server.http.graphql_routes import GraphQLRoutes
from maas_server.http.inference_routes import InferenceRoutes
from maas_server.http.messages import Request, Response, json_response
from maas_server.http.metrics import Metrics
from maas_server.http.models import Models
from maas_server.http.routing import Operation, Route, Router
from maas_server.http.tensorflow_routes import TensorFlowRoutes
from maas_server.settings import Settings


def build_application(
    settings: Settings,
    front: Front,
    calls: Calls,
    models: Models,
    ready: Callable[[], bool],
    tenants: Callable[[int], Sequence[TenantUsage]],
    front_counters: Callable[[], Mapping[str, Any]],
) -> Application:
    """Return the application.

    `ready`: whether the server takes requests. `tenants`: what so many tenants at most use.
    `front_counters`: of the compiled front; empty without one.
    """
    metrics = Metrics(models, ready, tenants, front_counters)
    routes: list[Route] = [
        Route("/", {"GET": Operation(_alive, "Whether the process lives", response="Alive")}, "Health"),
        *metrics.routes(),
        *InferenceRoutes(front, calls, models, ready).routes(),
        *TensorFlowRoutes(front, calls, models).routes(),
        *GraphQLRoutes(front, models).routes(),
    ]
    routes += documentation_routes(routes)
    app = Application(Router(routes), BodyLimits(settings.max_message_bytes), Callers(settings.tenant_key))
    metrics.responses = app.responses
    return app


async def _alive(_: Request) -> Response:
    return json_response({"status": "alive"})
