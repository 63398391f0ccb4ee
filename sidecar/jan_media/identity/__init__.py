"""Who may call: guest tokens, signing keys, API keys, the gateway's secret."""
