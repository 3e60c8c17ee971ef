"""The province node: issues and revokes its people's codes, verifies all codes, and answers questions about its own.

A folder is a use case. `app` runs the node, `wiring` builds it.
"""
