"""What the operator watches: status, deadlines, reports of the nodes."""
