-- The signature over the receipt's exact bytes, by a unit that has a key.

ALTER TABLE prints ADD COLUMN receipt_seal TEXT;
