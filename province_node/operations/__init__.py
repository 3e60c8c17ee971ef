"""What the province's IT does with a node: check, backup, restore, alarms, deadlines."""
