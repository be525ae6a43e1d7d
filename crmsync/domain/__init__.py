"""The business terms: deals, customers, orders, invoices, money, runs. No framework, no I/O."""
