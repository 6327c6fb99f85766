"""What the benchmarks run on: repositories, deliveries, base images, images, a history of builds."""
