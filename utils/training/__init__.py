"""The scripts that made the weights and tables in utils/assets, and the figures in solutions/figures."""
