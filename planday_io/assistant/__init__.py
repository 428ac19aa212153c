"""`planday mcp`: what an assistant may ask of the published warehouse, and nothing else.

    server (tools, words) ─► asking ─► worker, a process per question ─► statements: what may be named ─► DuckDB, read-only

The server never opens the warehouse. Each question has a process of its own, without environment variables, which attaches
the file read-only, switches off files, network and configuration, and ends with the answer. So a question sees the newest
publication, nothing holds an old one, and one that never ends, or wants all memory, costs that process only: DuckDB
cannot be interrupted inside one call of a function such as `levenshtein`.

Nothing here knows how the warehouse is made. `server` needs the package `mcp`, the extra of that name; the rest does not.
"""
