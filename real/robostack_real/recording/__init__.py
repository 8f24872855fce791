"""Recording a running stack, in a process of its own."""
