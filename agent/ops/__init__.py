"""Living under an init system: notifications, watchdog, logs."""
