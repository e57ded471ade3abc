"""Write a BERT of a few weights, without a classifier's layer, into the folder that is named."""

import sys

import transformers

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "was", "not", "soup", "bread", "good", "bad"]
config = transformers.BertConfig(
    vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
)
transformers.BertForMaskedLM(config).save_pretrained(sys.argv[1])
tokenizer = transformers.BertTokenizer(vocab={word: place for place, word in enumerate(words)})
tokenizer.save_pretrained(sys.argv[1])
