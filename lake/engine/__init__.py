"""Start Spark: Java, jars and session."""
