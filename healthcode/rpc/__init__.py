"""gRPC for all services."""

import os

# The library logs each failed handshake, so any stranger could flood the log.
# It reads this variable once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
