"""Every port that nothing else uses: what comes there is written down."""
