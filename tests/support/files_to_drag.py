"""A window of another program, from which files are dragged: X Y EDGE FILE...

It stays until it is killed: who takes the files asks for their names after the drop.
"""

import sys

from qtpy.QtCore import QMimeData, Qt, QUrl
from qtpy.QtGui import QDrag
from qtpy.QtWidgets import QApplication, QWidget


class Files(QWidget):
    def mousePressEvent(self, event):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(path) for path in sys.argv[4:]])
        drag = QDrag(self)
        drag.setMimeData(mime)
        drag.exec(Qt.DropAction.CopyAction)


x, y, edge = map(int, sys.argv[1:4])
app = QApplication(sys.argv[:1])
window = Files()
window.setGeometry(x, y, edge, edge)
window.setWindowFlag(Qt.WindowType.WindowDoesNotAcceptFocus)  # the keys stay with napari
window.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
window.show()
app.processEvents()
print("shown", flush=True)
app.exec()
