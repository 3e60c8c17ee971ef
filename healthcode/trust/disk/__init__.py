"""Trust files on disk: numbered generations, each complete before it becomes current."""
