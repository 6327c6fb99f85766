"""What is measured on: repositories, deliveries, base images, a history of builds."""
