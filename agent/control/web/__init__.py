"""The opt-in HTTP listener: uploads as slicers send them to OctoPrint, and the status page. Loaded only where on."""
