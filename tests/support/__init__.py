"""What tests and generators share: real servers, and waiting for conditions."""
