"""Generated from protos/healthcode/v1 by `make generate`; do not edit."""
