"""What is right? task.toml becomes a Task; kinds say what a label means."""
