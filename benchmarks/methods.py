"""Paths of the RPCs that are measured."""

from __future__ import annotations

PREDICT = "/maas.v1.PredictService/Predict"
PREDICT_STREAM = "/maas.v1.PredictService/PredictStream"
ECHO = "/echo.Echo/Echo"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
TENSORFLOW_PREDICT = "/tensorflow.serving.PredictionService/Predict"
