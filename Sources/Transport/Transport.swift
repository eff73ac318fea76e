// Sockets, readiness, buffers.
