"""Where HTTP ends: reading requests, rendering refusals, limits on the transport; nothing here knows a surface."""
