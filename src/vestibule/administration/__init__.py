"""What the operators' surfaces share: the command line today, admin API and dashboard later; no printing, no HTTP."""
