"""External plugins: the process, the MsgPack protocol, instances and events."""
