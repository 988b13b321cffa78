"""Windows event log records: what they are to Sigma and to OCSF, in whatever form they come."""
