"""Tools that hold this HTTP and WebSocket stack against the RFCs and against other servers. The program never
imports them; `conformance.mk` has the commands.

`matrix` writes docs/http-conformance.md: the cases of `cases`, sent by `wire` to the `servers`, this one, nginx and
HAProxy; `reading` says in words what came out, `document` puts it on the page. `autobahn` runs the Autobahn testsuite
against both ends of our WebSocket (`echo_server`, `echo_client`), in the environment of `python27`. Start reading at
`case`.
"""
