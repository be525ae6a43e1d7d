"""What the business speaks of: deals, customers, orders, invoices, money, runs. No framework, no I/O."""
