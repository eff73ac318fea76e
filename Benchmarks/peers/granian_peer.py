"""The same work behind granian, a server in Rust for Python applications: its own interface (RSGI), body as one bytes.

    granian --interface rsgi --port P granian_peer:app
"""
import work


async def app(scope, protocol):
    body = await protocol()
    protocol.response_str(200, [("content-type", "application/json")], work.answer(body, scope.query_string))
