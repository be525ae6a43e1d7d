"""One exchange with the outside: how it gets out, how long it may last, and what came back."""
