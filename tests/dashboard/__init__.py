"""The dashboard before a real MLflow, asked as a program asks it and looked at with Chromium; no cluster is needed."""
