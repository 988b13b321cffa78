"""The REST API: what the console and the command line do, for programs. One module a topic, the same names in each."""
