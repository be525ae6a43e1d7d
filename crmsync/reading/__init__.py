"""What is shown of the store: plain rows, without a person's name, address or e-mail, without a screen's words."""
