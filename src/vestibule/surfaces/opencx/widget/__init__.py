"""The widget's side of OpenCX's wire, below `/backend/widget/v2` (contracts/opencx.md); it keeps nothing itself."""
