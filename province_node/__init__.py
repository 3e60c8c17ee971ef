"""The province's node: issues its people's codes, revokes them, verifies everybody's, and answers for its own.

`app` wires; `service` serves; `issue`, `revoke`, `publish`, `answer` and `ask` are the
use cases; `store` keeps; `key` signs; `authority` is the offline machine's part. What a
restored registry has lost of ours, `resubmission` hands in again. An older database catches up by
`takeover`; a second live node is a `rival`.
"""
