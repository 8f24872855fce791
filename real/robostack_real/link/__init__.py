"""The serial link to a board that runs a policy: frames, messages, and the client."""
