"""What all HTML pages share: template, look, words and small pictures."""
