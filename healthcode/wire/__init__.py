"""The wire format: the code and the signed messages, strict decoding, and nothing that decides."""
