"""What tries crmsync out and breaks it on purpose: the stand-ins of the vendors, the demo and the campaign."""
