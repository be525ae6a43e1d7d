"""Read models: plain rows of the store, without names, addresses or e-mails of people, for every screen."""
