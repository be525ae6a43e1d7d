"""What the control tower's pages show: plain rows, without a person's name, address or e-mail."""
