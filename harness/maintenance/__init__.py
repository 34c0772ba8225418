"""What one does after accidents: sync, doctor, gc and verify."""
