"""gRPC for all services: the one home of `grpc` in the standard.

server (with gate, access, identity, errors), client, lifecycle; convert between the
standard's types and protos; source and follow, which keep a TrustView current.
"""

import os

# The library writes a line of its own for each failed handshake, so any stranger could
# flood the log. It reads this once, when it is imported, and so it stands here.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
