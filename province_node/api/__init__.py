"""The RPC servicers: convert a request, call one use case, convert its result."""
