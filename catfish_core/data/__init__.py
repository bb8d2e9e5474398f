"""Photos and datasets: reading, drawing, downloading, importing, splitting, loading."""
