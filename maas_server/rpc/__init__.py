"""The services: thin handlers between gRPC and the engine or the registry."""
