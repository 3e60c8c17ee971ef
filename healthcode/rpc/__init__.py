"""gRPC for all services: the one home of `grpc` in the standard.

server (with access, identity, errors), client, lifecycle; convert between the
standard's types and protos; source and follow, which keep a TrustView current.
"""
