"""Print the share of the sentences kept back that a bag of words takes for what they are: `bag_of_words.py TABLE`."""

import sys

import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

rows = pd.read_csv(sys.argv[1])
train, test = train_test_split(rows, test_size=0.25, stratify=rows["label"], random_state=0)
words = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000)).fit(train["text"], train["label"])
print(words.score(test["text"], test["label"]))  # noqa: T201
