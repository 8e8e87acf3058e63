"""How long a message takes from Kafka to gold, what state costs, and what a contract costs a micro-batch."""
