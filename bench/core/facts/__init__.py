"""What is known about models and numbers, as tables with sources: training data, differences, their causes."""
