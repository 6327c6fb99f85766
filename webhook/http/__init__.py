"""What every HTTP answer shares: errors, parameters, the policy for HTML."""
