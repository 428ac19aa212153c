"""A local Planday: identity server and API, seeded, deterministic, and no more lenient than the real one.

It answers nothing that `openapi.yaml` beside it does not allow (a test checks every answer), and it knows nothing of the
rest of this package: what the pipeline believes about the API cannot leak into what it is tested against.
"""
