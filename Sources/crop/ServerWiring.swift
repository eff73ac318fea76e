/// Runs the server until it is told to stop.
func runServer(_ configuration: ServerConfiguration) async throws {
  StandardStreams.writeError(
    "crop: would listen on \(configuration.httpHost):\(configuration.httpPort)\n")
}
